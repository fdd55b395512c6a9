package debug

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// guarded lets through who may look and change something.
func (h *handler) guarded(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok {
			_, given, ok = r.BasicAuth()
		}
		switch {
		case ok && h.Token != "" && sameToken(given, h.Token), !ok && isLocal(r):
			next(w, r)
		case h.Token == "":
			http.Error(w, "this is for requests from the machine itself: no token is set for others", http.StatusForbidden)
		default:
			w.Header().Set("WWW-Authenticate", `Basic realm="relink: the password is the token"`)
			http.Error(w, "this wants the token", http.StatusUnauthorized)
		}
	})
}

// sameToken compares in a time that tells nothing.
func sameToken(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// isLocal reports whether a request comes from this machine, and not from a page whose
// site has made its name point here.
func isLocal(r *http.Request) bool {
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && local.Network() == "unix" {
		return true
	}
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !from.Addr().Unmap().IsLoopback() {
		return false
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && ip.Unmap().IsLoopback()
}
