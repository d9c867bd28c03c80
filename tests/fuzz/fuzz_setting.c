/*
 * The text of a setting, by each type that there is.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "appservice/config_priv.h"

#include "base/poison.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	char *text = fuzz_text(p, n);
	struct arena a = { 0 };

	for (size_t i = 0; i < SETTING_COUNT; i++) {
		const struct setting_info *info = &setting_infos[i];
		struct setting_value v = { .text = text };

		const char *why = config_check_value(&a, info, &v);
		HOLDS(!why || *why);
		if (why)
			continue;
		HOLDS(info->type == SETTING_NODE || *text);
		if (info->type == SETTING_URL)
			HOLDS(MATCHES("https?://[^/:].*", text) &&
				fuzz_is_clean(text));
		if (info->type == SETTING_SERVER)
			HOLDS(fuzz_is_server(text));
		if (info->type == SETTING_ADDRESS)
			HOLDS(MATCHES(".+:[0-9]+", text));
		if (info->type == SETTING_OWNER)
			HOLDS(v.uid >= 0 && v.gid >= 0 &&
				MATCHES("[0-9]+:[0-9]+", text));
		if (info->type == SETTING_INT)
			HOLDS(v.number == strtoll(text, NULL, 10));
		if (info->type == SETTING_DURATION)
			HOLDS(v.number >= 0 &&
				MATCHES("[0-9]+(ms|[smhd])", text));
	}
	arena_free(&a);
	free(text);
	return 0;
}
