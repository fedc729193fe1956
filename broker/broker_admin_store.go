package broker

// UnsavedReason returns why the store did not take what memory has more of than the store, in its
// words; empty where [Admin.Unsaved] is 0.
func (a Admin) UnsavedReason() string { return a.b.ledger.unsavedReason() }

// Coordination is [Broker.Coordination].
func (a Admin) Coordination() (CoordinationStatus, bool) { return a.b.Coordination() }

// ProxyFault returns what is wrong where nothing is renewed because upstream.proxy does not let us
// through; empty where [Admin.Outage] is WeChat's, or none.
func (a Admin) ProxyFault() string { return a.b.table.proxyFault() }
