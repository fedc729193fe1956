package broker_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/wxsidecar/wxsidecar/broker"
)

func TestPreAuthCode_AStaleComponentTokenIsCured(t *testing.T) {
	lit(t, worldOptions{}, func(w *world) {
		first, life, err := w.broker.PreAuthCode(context.Background(), componentID)
		if err != nil || life != 10*time.Minute || !strings.HasPrefix(first.Reveal(), "preauthcode@@@") {
			t.Fatalf("life %s, %v", life, err)
		}
		w.sim.Displace(componentID)
		second, _, err := w.broker.PreAuthCode(context.Background(), componentID)
		if err != nil || second.Equal(first) {
			t.Errorf("after the component's token was displaced: %v, the same code %t", err, second.Equal(first))
		}
	})
}

func TestPreAuthCode_WithoutAToken(t *testing.T) {
	inWorld(t, worldOptions{}, func(w *world) {
		_, _, err := w.broker.PreAuthCode(context.Background(), componentID)
		var state *broker.StateError
		if !errors.As(err, &state) || state.State != broker.StateWaitingTicket {
			t.Errorf("without a ticket: %v", err)
		}
		if _, _, err := w.broker.PreAuthCode(context.Background(), "wxunknown"); !errors.Is(err, broker.ErrUnknownAccount) {
			t.Errorf("of a component that is not configured: %v", err)
		}
		if _, err := w.broker.AuthorizerInfo(context.Background(), "wxunknown", merchant(0)); !errors.Is(err, broker.ErrUnknownAccount) {
			t.Errorf("info of one: %v", err)
		}
	})
}

func TestAuthorizerInfo_OfAMerchantAndOfAStranger(t *testing.T) {
	lit(t, worldOptions{merchants: 1}, func(w *world) {
		info, err := w.broker.AuthorizerInfo(context.Background(), componentID, merchant(0))
		if err != nil || info.AppID != merchant(0) || info.Name == "" || info.Avatar == "" || len(info.Rights) == 0 {
			t.Errorf("%+v, %v", info, err)
		}
		if _, err := w.broker.AuthorizerInfo(context.Background(), componentID, merchant(7)); err == nil {
			t.Error("one who never authorised has an info")
		}
	})
}
