// Package browser holds no code, only tests: what an operator sees of the page of package admin,
// in Chromium and of the real program. Each fault that an operator may be woken by is made in
// front of a simulated WeChat, and the page's first finding must name it and its cure.
// It needs Debian's chromium, nodejs and npm, redis-server, and the npm registry once.
package browser
