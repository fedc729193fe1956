package main

import (
	"errors"
	"fmt"

	"github.com/wxsidecar/wxsidecar/config"
	"github.com/wxsidecar/wxsidecar/proxy/dial"
	"github.com/wxsidecar/wxsidecar/proxy/relay"
)

func newRelay(c config.Config, own *dial.OwnAddresses) (*relay.Client, error) {
	roots, err := rootCAs(c.Upstream.CAFile)
	if err != nil {
		return nil, err
	}
	return relay.New(relay.Options{Own: own, RootCAs: roots, UserAgent: "wxsidecar/" + version()}), nil
}

// relayTargets returns the targets of events, in the order of the configuration.
func relayTargets(configured []config.Event) ([]*relay.Target, error) {
	targets := make([]*relay.Target, len(configured))
	var faults []error
	for i, e := range configured {
		var err error
		targets[i], err = relay.NewTarget(relay.TargetOptions{
			URL: e.URL, InfoTypes: e.InfoTypes, MsgTypes: e.MsgTypes, Events: e.Events, AppIDs: e.AppIDs, Components: e.Components,
			Format: e.Format, Secret: e.Secret,
		})
		if err != nil {
			faults = append(faults, fmt.Errorf("events[%d].%w", i, err))
		}
	}
	return targets, errors.Join(faults...)
}
