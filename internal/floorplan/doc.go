// Package floorplan holds the tests that keep the house in order: imports point down only, deciding rooms touch no
// outside world, each library has one owner, every package says what it does. It has no code of its own.
package floorplan
