module github.com/relink-go/relink/capi

go 1.26.0

require (
	github.com/relink-go/relink v0.0.0-00010101000000-000000000000
	github.com/relink-go/relink/mobile v0.0.0-00010101000000-000000000000
)

require (
	github.com/cloudflare/circl v1.6.5 // indirect
	golang.org/x/crypto v0.54.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)

replace (
	github.com/relink-go/relink => ../
	github.com/relink-go/relink/mobile => ../mobile
)
