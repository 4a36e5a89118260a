/* The C interface from C99: its header compiles, and its functions link. */
#include <stdio.h>
#include <string.h>

#include "slidecell/slidecell.h"

int main(void) {
  slidecell_options options = {0};
  slidecell_model* model = NULL;
  slidecell_stream* stream = NULL;
  slidecell_monitor* monitor = NULL;
  const char* isa = NULL;
  if (slidecell_model_load("/none", &model) != SLIDECELL_IO_ERROR || model) return 1;
  if (!strstr(slidecell_last_error(), "/none")) return 2;
  if (slidecell_stream_create(model, 1, &options, &stream) != SLIDECELL_INVALID_ARGUMENT) return 3;
  if (slidecell_monitor_create(model, 1, &options, &monitor) != SLIDECELL_INVALID_ARGUMENT)
    return 5;
  if (slidecell_active_isa(&isa) != SLIDECELL_OK || !isa || slidecell_model_feature(model, 0))
    return 6;
  if (strlen(slidecell_version()) < strlen("0.0.0")) return 4;
  return 0;
}
