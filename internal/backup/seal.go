package backup

import (
	"fmt"
	"io"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// seal compresses and then encrypts: what is encrypted does not compress. age
// authenticates each chunk and the end, so that nothing opens that was changed or
// cut off.
func seal(to io.Writer, from io.Reader, recipient age.Recipient) error {
	encrypted, err := age.Encrypt(to, recipient)
	if err != nil {
		return fmt.Errorf("encrypt: %w", err)
	}
	// One goroutine: a backup has all the time that it needs, its neighbours have not.
	compressed, err := zstd.NewWriter(encrypted, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return fmt.Errorf("compress: %w", err)
	}
	if _, err := io.Copy(compressed, from); err != nil {
		return fmt.Errorf("seal the snapshot: %w", err)
	}
	if err := compressed.Close(); err != nil {
		return fmt.Errorf("compress: %w", err)
	}
	if err := encrypted.Close(); err != nil {
		return fmt.Errorf("encrypt: %w", err)
	}
	return nil
}

// unseal is the way back.
func unseal(to io.Writer, from io.Reader, identities ...age.Identity) error {
	decrypted, err := age.Decrypt(from, identities...)
	if err != nil {
		return fmt.Errorf("decrypt: %w", err)
	}
	plain, err := zstd.NewReader(decrypted, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return fmt.Errorf("decompress: %w", err)
	}
	defer plain.Close()
	if _, err := io.Copy(to, plain); err != nil {
		return fmt.Errorf("open the backup: %w", err)
	}
	return nil
}
