/* Marks the names that the shared library exports; all others in it are hidden. */
#pragma once

#define SLIDECELL_API __attribute__((visibility("default")))
