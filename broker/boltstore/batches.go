package boltstore

import "go.etcd.io/bbolt"

// batchBytes is how much goes into one transaction while a file is filled.
const batchBytes = 4 << 20

// batches fills a new database in transactions of a bounded size.
type batches struct {
	db   *bbolt.DB
	tx   *bbolt.Tx
	size int
}

// newBatches makes the bucket and begins the first transaction.
func newBatches(db *bbolt.DB) (*batches, error) {
	tx, err := db.Begin(true)
	if err != nil {
		return nil, err
	}
	w := &batches{db: db, tx: tx}
	if _, err := tx.CreateBucket(bucketName()); err != nil {
		w.rollback()
		return nil, err
	}
	return w, nil
}

// put adds a record and keeps its bytes.
func (w *batches) put(name, value []byte) (err error) {
	if w.size += len(name) + len(value); w.size > batchBytes {
		w.size = 0
		if err := w.tx.Commit(); err != nil {
			return err
		}
		if w.tx, err = w.db.Begin(true); err != nil {
			return err
		}
	}
	b := w.tx.Bucket(bucketName())
	b.FillPercent = 0.9 // most come in the order of names
	return b.Put(name, value)
}

// has reports whether there is a record of that name.
func (w *batches) has(name []byte) bool { return w.tx.Bucket(bucketName()).Get(name) != nil }

func (w *batches) commit() error { return w.tx.Commit() }

// rollback does nothing after commit.
func (w *batches) rollback() { _ = w.tx.Rollback() }
