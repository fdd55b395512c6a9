package socket

// Of what a sender has handed to its kernel and the receiver has not taken from its own,
// the receiver's buffer bounds what has been sent, because nothing is sent beyond the
// window that it has room for, and the sender's bound of what is not yet sent the rest.
// These are the shares of a whole; what is left covers the one piece that a sender may be
// over its bound, and what the receiver's kernel takes beyond its own.
const (
	unreadShare = 3.0 / 4
	unsentShare = 1.0 / 16
)

// leastUnread and leastUnsent are bytes below which a bound would cost more than it is
// worth.
const (
	leastUnread = 64 << 10
	leastUnsent = 16 << 10
)

// shares returns how much may wait in the receiver's kernel and how much unsent in the
// sender's, so that no more than the whole is under way.
func shares(whole int) (unread, unsent int) {
	return max(leastUnread, int(float64(whole)*unreadShare)), max(leastUnsent, int(float64(whole)*unsentShare))
}
