/*
 * A binary heap.
 */
#include "appservice/reconcile/heap.h"

#include "base/poison.h"

void heap_raise(struct heap *h, int at, int rank)
{
	while (at > 0 && h->ranks[(at - 1) / 2] > rank) {
		h->ranks[at] = h->ranks[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	h->ranks[at] = rank;
}

void heap_push(struct heap *h, int rank)
{
	heap_raise(h, h->n++, rank);
}

int heap_pop(struct heap *h)
{
	int top = h->ranks[0], moved = h->ranks[--h->n], at = 0;
	for (;;) {
		int child = 2 * at + 1;
		if (child >= h->n)
			break;
		if (child + 1 < h->n && h->ranks[child + 1] < h->ranks[child])
			child++;
		if (h->ranks[child] >= moved)
			break;
		h->ranks[at] = h->ranks[child];
		at = child;
	}
	h->ranks[at] = moved;
	return top;
}
