package noise

import (
	"runtime"

	"golang.org/x/sys/cpu"
)

// preferredCipher returns AES-GCM where the processor has instructions for it:
// otherwise ChaCha20-Poly1305 is faster, and its software leaks no timing.
func preferredCipher() cipherID {
	var has bool
	switch runtime.GOARCH {
	case "amd64":
		has = cpu.X86.HasAES && cpu.X86.HasPCLMULQDQ && cpu.X86.HasSSE41
	case "arm64":
		has = cpu.ARM64.HasAES && cpu.ARM64.HasPMULL || runtime.GOOS == "darwin" || runtime.GOOS == "ios"
	case "s390x":
		has = cpu.S390X.HasAES && cpu.S390X.HasAESCTR && cpu.S390X.HasGHASH
	}
	if has {
		return cipherAESGCM
	}
	return cipherChaChaPoly
}
