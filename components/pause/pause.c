/*
 * pause holds a pod's namespaces open and reaps the processes that its
 * containers leave behind. It is C because every pod has one: a static C
 * program takes a hundredth of the memory of a Go one.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void finish(int signal)
{
	(void)signal;
	_exit(EXIT_SUCCESS);
}

static void reap(int signal)
{
	(void)signal;
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

int main(void)
{
	struct sigaction ending = {.sa_handler = finish};
	struct sigaction reaping = {.sa_handler = reap, .sa_flags = SA_NOCLDSTOP};

	/* As process 1 it gets only the signals that it handles. */
	if (sigaction(SIGINT, &ending, NULL) < 0 ||
	    sigaction(SIGTERM, &ending, NULL) < 0 ||
	    sigaction(SIGCHLD, &reaping, NULL) < 0)
		return EXIT_FAILURE;
	for (;;)
		pause();
}
