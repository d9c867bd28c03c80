/*
 * store/network.c: is the store on a network file system?
 */
#include <errno.h>
#include <string.h>
#include <sys/vfs.h>

#include "store/network_priv.h"

#include "base/poison.h"

/*
 * FUSE is among them because nobody can tell what is behind it, and a local
 * disk that is taken for one of the network is only slower to begin with.
 */
bool network_is_magic(uint32_t magic)
{
	static const uint32_t magics[] = {
		0x00006969, /* NFS, and so EFS */
		0x0000517b, /* SMB */
		0xff534d42, /* CIFS */
		0xfe534d42, /* SMB 2 and 3 */
		0x65735546, /* FUSE */
		0x00c36400, /* Ceph */
		0x0bd00bd0, /* Lustre */
		0x47504653, /* GPFS */
		0x01161970, /* GFS2 */
		0x7461636f, /* OCFS2 */
		0x5346414f, /* AFS */
		0x01021997, /* 9P */
	};

	for (size_t i = 0; i < ARRAY_LEN(magics); i++)
		if (magics[i] == magic)
			return true;
	return false;
}

enum rc network_wanted(
	const char *dir, enum store_place place, bool *ret, struct err *e)
{
	struct statfs fs;

	if (place != STORE_AUTO) {
		*ret = place == STORE_NETWORK;
		return RC_OK;
	}
	if (statfs(dir, &fs) != 0)
		return err_set(e, RC_IO, "store: %s: %s", dir, strerror(errno));
	*ret = network_is_magic((uint32_t)fs.f_type);
	return RC_OK;
}
