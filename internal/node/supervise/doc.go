// Package supervise keeps processes running for a PID 1: it starts them, restarts what dies or hangs, prefixes what
// they log and reaps every orphan.
//
// Only one goroutine of the program waits for children. Had each process its own waiter, the loop that reaps orphans
// would steal their exit statuses; therefore nothing in a program with a Reaper may use os/exec.
package supervise
