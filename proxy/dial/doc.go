// Package dial makes connections to the outside: which addresses a name has, which
// of them may be called, and which lead back to this process.
//
//	host.go       one host: its addresses, remembered; New for clients
//	dns.go        asking one DNS server, past the hosts file
//	address.go    which addresses are public
//	own.go        what we listen on ourselves
//	proxy.go      connections through a proxy; proxyurl.go, httpconnect.go, socks.go
//
// The data path, CONNECT and the broker's client all dial by it. It knows neither
// calls nor tokens.
package dial
