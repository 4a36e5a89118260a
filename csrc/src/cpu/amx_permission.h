// Whether this process may use the tile registers of AMX.
#pragma once

#include <string>

namespace slidecell {

// Empty if AMX's bf16 tiles and AVX512-BF16 can be used; otherwise why not. Asks the operating
// system for permission, which it grants per process and may refuse: a thread with an alternate
// signal stack too small for the tile registers is enough. From then on it refuses such stacks
// instead. Not asked where SLIDECELL_ISA names another ISA.
std::string amx_refusal();

}  // namespace slidecell
