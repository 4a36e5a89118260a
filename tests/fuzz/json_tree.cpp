#include "json_tree.h"

#include <cstdio>
#include <functional>
#include <utility>

namespace slidecell::fuzz {
namespace {

using Edit = std::function<Json(const Json&)>;

std::size_t nodes(const Json& value) {
  std::size_t n = 1;
  if (const auto* array = value.array()) {
    for (const Json& item : *array) n += nodes(item);
  } else if (const auto* object = value.object()) {
    for (const auto& member : *object) n += nodes(member.second);
  }
  return n;
}

const Json* node(const Json& value, std::size_t& index) {
  if (index-- == 0) return &value;
  if (const auto* array = value.array()) {
    for (const Json& item : *array) {
      if (const Json* found = node(item, index)) return found;
    }
  } else if (const auto* object = value.object()) {
    for (const auto& member : *object) {
      if (const Json* found = node(member.second, index)) return found;
    }
  }
  return nullptr;
}

// Counts `index` down over the nodes; the one at 0 is edited.
Json edited(const Json& value, std::int64_t& index, const Edit& edit) {
  if (index-- == 0) return edit(value);
  if (index < 0) return value;
  if (const auto* array = value.array()) {
    Json::Array out;
    for (const Json& item : *array) out.push_back(edited(item, index, edit));
    return Json(std::move(out));
  }
  if (const auto* object = value.object()) {
    Json::Object out;
    for (const auto& [key, item] : *object) out.emplace_back(key, edited(item, index, edit));
    return Json(std::move(out));
  }
  return value;
}

Json edited_somewhere(const Json& tree, Random& random, const Edit& edit) {
  auto index = static_cast<std::int64_t>(random.below(nodes(tree)));
  return edited(tree, index, edit);
}

Json changed_array(Json::Array items, const std::vector<std::string>& words, Random& random) {
  const std::size_t at = random.below(items.size());
  const auto place = items.begin() + static_cast<std::ptrdiff_t>(at);
  switch (items.empty() ? 0 : random.below(4)) {
    case 0:
      items.insert(place, random_json(words, random));
      break;
    case 1:
      items.erase(place);
      break;
    case 2: {
      const Json copy = *place;
      items.insert(place, copy);
      break;
    }
    default:
      std::swap(items[at], items[random.below(items.size())]);
  }
  return Json(std::move(items));
}

Json changed_object(Json::Object members, const std::vector<std::string>& words, Random& random) {
  const std::size_t at = random.below(members.size());
  const auto place = members.begin() + static_cast<std::ptrdiff_t>(at);
  switch (members.empty() ? 0 : random.below(6)) {
    case 0:
      members.emplace_back(random.of(words), random_json(words, random));
      break;
    case 1:
      members.erase(place);
      break;
    case 2:
      place->first = random.of(words);
      break;
    case 3: {
      const Json::Member twin = *place;  // refused as a duplicate key
      members.push_back(twin);
      break;
    }
    default:
      std::swap(members[at].second, members[random.below(members.size())].second);
  }
  return Json(std::move(members));
}

Json near(const Json& value, Random& random) {
  static const std::vector<std::int64_t> steps = {-8, -2, -1, 1, 2, 8};
  if (const auto integer = value.integer()) {
    const auto sum =
        static_cast<std::uint64_t>(*integer) + static_cast<std::uint64_t>(random.of(steps));
    return Json(static_cast<std::int64_t>(sum));
  }
  return Json(random.of(odd_reals()));
}

void append_escape(std::string& out, unsigned code) {
  char text[8];
  std::snprintf(text, sizeof text, "\\u%04x", code);
  out += text;
}

std::string quoted(const std::string& text, Random* random) {
  std::string out = "\"";
  for (const char c : text) {
    const auto code = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (code < 0x20 || (code < 0x80 && random && random->one_in(16))) {
      append_escape(out, code);
    } else {
      out += c;
    }
  }
  if (random && random->one_in(16)) out += "\\ud83d\\ude00";
  if (random && random->one_in(32))
    append_escape(out, static_cast<unsigned>(random->below(0x10000)));
  if (random && random->one_in(16)) out += random->one_in(2) ? "\\n\\t\\/" : "\\b\\f\\r";
  return out + '"';
}

std::string number_text(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.17g", value);
  std::string out = text;
  if (out.find_first_of(".e") == std::string::npos) out += ".0";
  return out;
}

std::string space(Random* random) {
  if (!random || !random->one_in(8)) return "";
  static const std::vector<std::string> spaces = {" ", "\n", "\t ", "\r\n"};
  return random->of(spaces);
}

}  // namespace

std::string json_text(const Json& value, Random* random) {
  switch (value.type()) {
    case Json::Type::null:
      return "null";
    case Json::Type::boolean:
      return value.as_bool("") ? "true" : "false";
    case Json::Type::number:
      if (const auto integer = value.integer()) return std::to_string(*integer);
      return number_text(value.as_double(""));
    case Json::Type::string:
      return quoted(*value.string(), random);
    case Json::Type::array: {
      std::string out = "[";
      for (const Json& item : *value.array()) {
        out +=
            (out.size() > 1 ? "," : "") + space(random) + json_text(item, random) + space(random);
      }
      return out + "]";
    }
    case Json::Type::object:
      break;
  }
  std::string out = "{";
  for (const auto& [key, item] : *value.object()) {
    out += (out.size() > 1 ? "," : "") + space(random) + quoted(key, random) + space(random) + ":" +
           space(random) + json_text(item, random);
  }
  return out + "}";
}

Json random_json(const std::vector<std::string>& words, Random& random, int depth) {
  switch (random.below(depth > 0 ? 8 : 6)) {
    case 0:
      return Json();
    case 1:
      return Json(random.one_in(2));
    case 2:
      return Json(random.of(odd_reals()));
    case 3:
    case 4:
      return Json(random.of(odd_integers()));
    case 5:
      return Json(random.of(words));
    case 6: {
      Json::Array items;
      for (std::size_t i = random.below(4); i-- > 0;) {
        items.push_back(random_json(words, random, depth - 1));
      }
      return Json(std::move(items));
    }
    default: {
      Json::Object members;
      for (std::size_t i = random.below(4); i-- > 0;) {
        members.emplace_back(random.of(words), random_json(words, random, depth - 1));
      }
      return Json(std::move(members));
    }
  }
}

Json mutated(const Json& tree, const std::vector<std::string>& words, Random& random) {
  return edited_somewhere(tree, random, [&](const Json& value) {
    if (value.array() && !random.one_in(4)) return changed_array(*value.array(), words, random);
    if (value.object() && !random.one_in(8)) return changed_object(*value.object(), words, random);
    if (value.type() == Json::Type::number && !random.one_in(3)) return near(value, random);
    if (value.type() == Json::Type::boolean && !random.one_in(4)) return Json(!value.as_bool(""));
    if (value.string() && !random.one_in(3)) return Json(random.of(words));
    if (random.one_in(12)) {  // deep
      Json nested = value;
      for (std::size_t i = random.one_in(4) ? random.below(80) : 1; i-- > 0;) {
        nested = Json(Json::Array{std::move(nested)});
      }
      return nested;
    }
    return random_json(words, random);
  });
}

Json crossed(const Json& tree, const Json& other, Random& random) {
  std::size_t index = random.below(nodes(other));
  const Json given = *node(other, index);
  return edited_somewhere(tree, random, [&](const Json&) { return given; });
}

Json with_key(const Json& object, const std::string& key, Json value) {
  Json::Object members;
  bool found = false;
  if (object.object()) {
    for (const auto& member : *object.object()) {
      members.emplace_back(member.first, member.first == key ? value : member.second);
      found = found || member.first == key;
    }
  }
  if (!found) members.emplace_back(key, std::move(value));
  return Json(std::move(members));
}

}  // namespace slidecell::fuzz
