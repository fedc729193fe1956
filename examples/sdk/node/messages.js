'use strict'

// Encrypts the message on standard input with wechat-crypto (what co-wechat uses) as WeChat does, pushes it to URL, and
// prints the reply, decrypted. The variables APPID, TOKEN and KEY hold what WeChat's console does.

const Crypt = require('wechat-crypto')

const {URL: to, APPID, TOKEN, KEY} = process.env
const crypt = new Crypt(TOKEN, KEY, APPID)

async function push (plain) {
  const encrypted = crypt.encrypt(plain)
  const [timestamp, nonce] = [String(Math.floor(Date.now() / 1000)), '1372623149']
  const query = new URLSearchParams({
    timestamp, nonce, encrypt_type: 'aes', msg_signature: crypt.getSignature(timestamp, nonce, encrypted)
  })
  const body = `<xml><ToUserName><![CDATA[gh_1]]></ToUserName><Encrypt><![CDATA[${encrypted}]]></Encrypt></xml>`
  const answer = await (await fetch(`${to}?${query}`, {method: 'POST', body})).text()
  const field = name => {
    const found = new RegExp(`<${name}>(?:<!\\[CDATA\\[)?(.*?)(?:\\]\\]>)?</${name}>`).exec(answer)
    if (!found) throw new Error(`no ${name} in ${answer}`)
    return found[1]
  }
  const encrypt = field('Encrypt')
  if (crypt.getSignature(field('TimeStamp'), field('Nonce'), encrypt) !== field('MsgSignature')) {
    throw new Error('the reply\'s signature does not match')
  }
  const {message, id} = crypt.decrypt(encrypt)
  if (id !== APPID) throw new Error(`the reply is from ${id}`)
  process.stdout.write(message)
}

push(require('fs').readFileSync(0, 'utf8')).catch(err => {
  console.error(err)
  process.exitCode = 1
})
