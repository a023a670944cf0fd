package vm

// Task is one task of PVE's list that may have changed a guest's config.
type Task struct {
	UPID string
	Type string // PVE's worker type: "qmconfig", "resize"
	User string // "root@pam", or with a token "root@pam!name"
	At   int64  // when it began, seconds since 1970 by the host's clock
}
