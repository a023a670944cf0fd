//go:build race

package adopt_test

// rounds: the code under test starts no goroutine, so the race detector finds nothing more in many rounds, and makes
// each six times as slow. The run without it does them all.
func rounds(int) int { return 1 }
