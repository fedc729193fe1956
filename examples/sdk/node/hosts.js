// Stands in for the entry
//
//   127.0.0.1 api.weixin.qq.com
//
// in /etc/hosts, for trials on a machine whose hosts file and port 443 are not
// ours: node --require ./hosts.js main.js, with ALIAS=host:port of alias.https. In
// production there is the entry, and not this file.
'use strict';

const tls = require('node:tls');

const [host, port] = process.env.ALIAS.split(':');
const connect = tls.connect;

function lookup(_name, options, callback) {
  if (options.all) {
    callback(null, [{ address: host, family: 4 }]);
  } else {
    callback(null, host, 4);
  }
}

tls.connect = (options, ...rest) =>
  connect(options.host === 'api.weixin.qq.com' ? { ...options, port, lookup } : options, ...rest);
