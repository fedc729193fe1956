package broker

// UnsavedReason returns why the store did not take what memory has more of than the store, in its
// words; empty where [Admin.Unsaved] is 0.
func (a Admin) UnsavedReason() string { return a.b.ledger.unsavedReason() }

// Coordination is [Broker.Coordination].
func (a Admin) Coordination() (CoordinationStatus, bool) { return a.b.Coordination() }

// OutageFault returns what was met instead of WeChat's answer where there is an [Admin.Outage], in
// the network's words, and whether it is upstream.proxy that does not let us through.
func (a Admin) OutageFault() (fault string, proxy bool) { return a.b.table.outageFault() }
