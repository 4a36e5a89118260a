/* What the shared library exports: everything else in it is hidden. */
#pragma once

#define SLIDECELL_API __attribute__((visibility("default")))
