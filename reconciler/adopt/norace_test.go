//go:build !race

package adopt_test

func rounds(n int) int { return n }
