// JSON as text again, and small changes of a tree that leave it well formed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/json.h"
#include "random.h"

namespace slidecell::fuzz {

// The text of a value; with `random`, one of its many spellings: spaces and escapes.
std::string json_text(const Json& value, Random* random = nullptr);

// A copy with one node replaced, removed, doubled, moved, wrapped or renamed. `words` are names
// that mean something where the text is read.
Json mutated(const Json& tree, const std::vector<std::string>& words, Random& random);

// A copy of `tree` in which one node is a node of `other`.
Json crossed(const Json& tree, const Json& other, Random& random);

// A value of any type, not deep.
Json random_json(const std::vector<std::string>& words, Random& random, int depth = 2);

// A copy of an object in which the key has this value.
Json with_key(const Json& object, const std::string& key, Json value);

}  // namespace slidecell::fuzz
