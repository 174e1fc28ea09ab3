/* `native NAME [ARGUMENTS]` exits with 0 when an attempt got through. Linked statically: it runs on
 * machines without a compiler or an interpreter. */
#include "attempt.h"

/* Stays, whatever it is told, with this as its argument. */
static _Noreturn void stay(void)
{
	for (int number = 1; number < 65; number++)
		signal(number, SIG_IGN);
	for (;;)
		pause();
}

int main(int count, char **arguments)
{
	if (count < 2)
		return 2;
	const char *name = arguments[1];
	if (IS("victim"))
		return victim(count - 2, arguments + 2);
	if (IS("landlock"))
		return printf("%ld\n", syscall(444, NULL, 0, 1)) < 0;
	if (IS("stay"))
		stay();
	if (IS("elevated"))
		return geteuid() == getuid();
	/* What it tries would work as root, and is not taken back. */
	if (geteuid() == 0 || count < 3)
		return 2;
	if (IS("process") && count > 3)
		return on_process(arguments[2], atoi(arguments[3]));
	if (IS("kernel"))
		return in_kernel(arguments[2]);
	int result = with_socket(name, count - 2, arguments + 2);
	return result == 2 ? with_path(name, arguments[2], count > 3 ? arguments[3] : "") : result;
}
