// Package blockcopy copies one block device or raw file into another of at least its size: it skips holes,
// zeros and (delta) what is already there, hashes what it read, reads the target back past the page cache,
// and continues behind its last durable checkpoint after any crash.
//
// It never creates, resizes or truncates a target, never writes beyond the source's size, never writes to the
// source, never skips a range it could not read, and knows nothing of ZFS but the name a zvol answers to.
package blockcopy
