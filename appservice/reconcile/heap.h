/*
 * appservice/reconcile/heap.h: numbers, of which the smallest comes first. One
 * thread at a time.
 */
#ifndef APPSERVICE_RECONCILE_HEAP_H
#define APPSERVICE_RECONCILE_HEAP_H

struct heap {
	int *ranks; /* the caller's, with room for all that are pushed */
	int n;
};

/* Adds one. */
void heap_push(struct heap *h, int rank);
/* The smallest; there is one. */
int heap_pop(struct heap *h);
/* The one at this place becomes smaller. */
void heap_raise(struct heap *h, int at, int rank);

#endif
