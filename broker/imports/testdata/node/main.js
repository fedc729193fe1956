// node-easywechat keeps a ticket in its file cache, as it does with one that WeChat pushes:
// node main.js FOLDER APPID TICKET
'use strict';

const {OpenPlatform} = require('node-easywechat');

const [path, appId, ticket] = process.argv.slice(2);
const app = new OpenPlatform({app_id: appId, secret: 'unused', token: 'unused', aes_key: 'unused', file_cache: {path}});
app.getVerifyTicket().setTicket(ticket);
