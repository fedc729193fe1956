// Calls WeChat with co-wechat-api as it is: two accounts in one process. It finds
// the sidecar by a hosts entry (alias), and trusts it by NODE_EXTRA_CA_CERTS, or, with
// BASE_URL, by the SDK's prefix. It knows no secret.
//
// The variables SHOP and OWN hold the appids of a merchant and of an account of
// one's own. One round of calls is made for each line of standard input.
'use strict';

const readline = require('node:readline');
const WechatAPI = require('co-wechat-api');

// The SDK tells them apart by what it gets for their appid in a token's place.
const accounts = [process.env.SHOP, process.env.OWN].map((appid) => new WechatAPI(appid, 'held-by-wxsidecar'));

if (process.env.BASE_URL) {
  for (const api of accounts) {
    api.prefix = `${process.env.BASE_URL}/cgi-bin/`;
  }
}

async function callAccount(api) {
  const token = await api.ensureAccessToken();
  console.log(`${api.appid} holds ${token.accessToken}`);
  await api.getMenu();
  await api.createMenu({ button: [{ type: 'click', name: '商店', key: 'SHOP' }] });
  await api.sendText('openid', '您的订单已发货');
  const { ip_list: ips } = await api.getIp();
  console.log(`${api.appid} got ${ips.length} addresses`);
}

async function main() {
  let round = 0;
  for await (const _ of readline.createInterface({ input: process.stdin })) {
    round++;
    await Promise.all(accounts.map(callAccount));
    console.log(`round ${round} ok`);
  }
}

main().catch((err) => {
  console.error(err);
  process.exit(1);
});
