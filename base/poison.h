/*
 * base/poison.h: calls that this program does not make. The last include of
 * every .c file (after the system's headers, which mention them); the files
 * that wrap one of them leave it out and say so.
 */
#ifdef __clang__ /* where the fortified <stdio.h> makes macros of them */
#	undef sprintf
#	undef vsprintf
#endif
#pragma GCC poison strcpy strcat sprintf vsprintf strtok strncpy strncat
#pragma GCC poison atoi atol atof gets alloca realloc
