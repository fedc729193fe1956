package broker

import (
	"context"
	"errors"
	"fmt"

	"github.com/wxsidecar/wxsidecar/broker/wechat"
)

// errNoTicket says that no component_verify_ticket is held that WeChat takes.
var errNoTicket = errors.New("no usable component_verify_ticket")

// fetchComponent tries the newest ticket, and older ones if WeChat refuses it.
func (n *renewer) fetchComponent(ctx context.Context, e *entry, turn turn) (wechat.Grant, error) {
	c := n.components.get(e.key.AppID)
	if c == nil {
		return wechat.Grant{}, fmt.Errorf("component %s is not configured", e.key.AppID)
	}
	refused := errNoTicket
	tried := c.ticketsToTry(ctx)
	for _, t := range tried {
		g, err := callInTurn(ctx, turn, func(ctx context.Context) (wechat.Grant, error) {
			return n.wechat.ComponentToken(ctx, c.appID, c.secret(), t.value)
		})
		var api *wechat.APIError
		if errors.As(err, &api) && api.TicketRefused() {
			refused = fmt.Errorf("%w: %w", errNoTicket, err)
			continue
		}
		if err == nil {
			c.ticketsTried(tried, true)
		}
		return g, err
	}
	c.ticketsTried(tried, false)
	return wechat.Grant{}, refused
}
