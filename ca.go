package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wxsidecar/wxsidecar/broker/seal"
	"github.com/wxsidecar/wxsidecar/broker/store"
	"github.com/wxsidecar/wxsidecar/config"
	"github.com/wxsidecar/wxsidecar/proxy/mitm"
)

const (
	// caFileName is the file in data_dir that holds the CA certificate.
	caFileName = "wxsidecar-ca.pem"

	caStoreWait = 10 * time.Second
)

// buildAuthority gets the CA from where it is kept.
func (s *sidecar) buildAuthority(c config.Config, keys *seal.Keyring) error {
	ctx, cancel := context.WithTimeout(s.base, caStoreWait)
	defer cancel()
	kept, err := s.keptCA(ctx, c, keys)
	if err != nil {
		return fmt.Errorf("the CA for apps: %w", err)
	}
	if s.authority, err = mitm.New(mitm.Options{PEM: kept, Now: s.broker.Now}); err != nil {
		return fmt.Errorf("the CA for apps: %w", err)
	}
	return nil
}

// keptCA returns the CA from the store that replicas share, or from beside a local one.
func (s *sidecar) keptCA(ctx context.Context, c config.Config, keys *seal.Keyring) ([]byte, error) {
	shared, ok := s.records.(store.Shared)
	if !ok {
		return caKeeper{file: caSealedFile(c, keys), beside: caBeside(c, keys), records: s.records, now: s.broker.Now, log: s.log}.get(ctx)
	}
	k := sharedCA{records: shared, keys: keys, now: s.broker.Now, log: s.log}
	if c.DataDir != "" {
		k.beside = caBeside(c, keys)
	}
	pem, err := k.get(ctx)
	s.restoreCA = func() {
		ctx, cancel := context.WithTimeout(s.base, caStoreWait)
		defer cancel()
		k.restore(ctx, pem)
	}
	return pem, err
}

// publishCertificate writes the CA's certificate into data_dir, if there is a CA. It must be
// called once all listeners are open: a start that fails, because another sidecar has the
// ports, say, must not replace what that one's apps trust.
func (s *sidecar) publishCertificate(c config.Config) {
	if s.authority == nil {
		return
	}
	if c.DataDir == "" {
		s.log.Info("no CA certificate is written, as data_dir is not set; apps find it at /ca.pem of the metrics listener")
		return
	}
	path := filepath.Join(c.DataDir, caFileName)
	pem := s.authority.CertificatePEM()
	before, err := os.ReadFile(path)
	if err == nil && bytes.Equal(before, pem) {
		return
	}
	if certificateIsAnothers(c) {
		s.log.Warn("the CA certificate is left as it is, since it belongs to the CA of a store on disk; apps of this run find theirs at /ca.pem of the metrics listener",
			"file", config.Absolute(path))
		return
	}
	switch err := writeCAFile(path, pem); {
	case err != nil:
		// Apps that do not need it are served all the same, and /ca.pem has it.
		s.log.Warn("cannot write the CA certificate; apps find it at /ca.pem of the metrics listener", "file", config.Absolute(path), "error", err)
	case before == nil:
		s.log.Info("wrote the CA certificate, which apps must trust that call https://api.weixin.qq.com through the sidecar", "file", config.Absolute(path))
	default:
		s.log.Warn("the CA certificate is another than before (it was renewed, or the former's file was lost or did not open): apps that trusted the former must be given this one",
			"file", config.Absolute(path))
	}
}

// caPEM returns the CA certificate for /ca.pem, nil without a CA.
func (s *sidecar) caPEM() []byte {
	if s.authority == nil {
		return nil
	}
	return s.authority.CertificatePEM()
}

// writeCAFile makes pem the content of the file, readable for all. An app never sees
// half of it.
func writeCAFile(path string, pem []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), caFileName+".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(pem)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // it is of no use to anybody
	}
	return err
}

func (p *program) caVerb() *cobra.Command {
	var bare bool
	cmd := &cobra.Command{
		Use:   "ca",
		Short: "Print the CA certificate that apps must trust, and how to make them",
		Long: "Ca prints the certificate of the sidecar's own CA from the file " + caFileName + " in data_dir, and the lines that make\n" +
			"JVM, Python, Node, Go, PHP, Debian and Alpine trust it. Only apps need it that reach the sidecar as HTTPS_PROXY or by\n" +
			"a hosts entry. It is good for weixin.qq.com and the names below, for nothing else. Serve makes it at its first start;\n" +
			"while it runs, /ca.pem of the metrics listener has it as well. Ca opens no store.\n" +
			"Exit codes: 0 printed, 1 there is no certificate yet.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir := p.load(cmd.Flags()).Config.DataDir
			if dir == "" {
				return &exitError{exitFailure, fmt.Errorf("with a Redis store the CA certificate is written only where data_dir says\nhint: take it from /ca.pem of " +
					"a running sidecar's metrics listener, or set data_dir and restart serve")}
			}
			path, err := filepath.Abs(filepath.Join(dir, caFileName))
			if err != nil {
				return &exitError{exitFailure, err}
			}
			pem, err := os.ReadFile(path)
			if errors.Is(err, fs.ErrNotExist) {
				err = fmt.Errorf("there is no CA certificate at %s\nhint: serve makes it at its first start; give the same --config or --data-dir, "+
					"or take it from /ca.pem of a running sidecar's metrics listener", path)
			}
			if err != nil {
				return &exitError{exitFailure, err}
			}
			fmt.Fprint(p.std.out, string(pem))
			if !bare {
				fmt.Fprint(p.std.out, "\n"+strings.ReplaceAll(readGuide("ca"), exampleCAFile, path))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&bare, "bare", false, "print the certificate only")
	addConfigFlags(cmd.Flags(), "data-dir")
	return cmd
}
