// Compiled functions with errors of our own: a wrong argument is named, with what was expected and
// what came. pybind11's own text lists C++ signatures instead.
//
// A function is bound as one that takes Python objects, each of which is converted by `load`. What
// then is left to refuse, a wrong number of arguments or an unknown name, reaches a second function
// that takes any and raises. The docstring begins with the arguments as `inspect.signature` reads
// them; pybind11's own would list both functions.
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "bindings.h"

namespace checked {

// An argument as `py::arg` describes it.
struct Name {
  const char* text = "";
  bool convert = true;
  bool optional = false;
};

template <class A>
using Caster = py::detail::make_caster<A>;
template <class A>
using Plain = py::detail::intrinsic_t<A>;

template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {
  using Value = T;
};
template <class T>
struct IsList : std::false_type {};
template <class T>
struct IsList<std::vector<T>> : std::true_type {
  using Value = T;
};
template <class T, std::size_t N>
struct IsList<std::array<T, N>> : std::true_type {
  using Value = T;
};
template <class T>
constexpr bool is_integer = std::is_integral_v<T> && !std::is_same_v<T, bool>;
// A class that is bound, such as Stream: None is none of its objects.
template <class T>
constexpr bool is_bound = std::is_base_of_v<py::detail::type_caster_generic, Caster<T>>;

// What an error says was expected of an argument.
template <class T>
std::string expected() {
  if constexpr (IsOptional<T>::value) {
    return expected<typename IsOptional<T>::Value>() + " or None";
  } else if constexpr (std::is_same_v<T, bool>) {
    return "True or False";
  } else if constexpr (is_integer<T>) {
    return "an integer";
  } else if constexpr (std::is_same_v<T, std::string>) {
    return "text";
  } else if constexpr (std::is_same_v<T, py::dict>) {
    return "a dict";
  } else if constexpr (std::is_same_v<T, py::bytes>) {
    return "bytes";
  } else if constexpr (std::is_same_v<T, py::array_t<float>>) {
    return "a float32 array";
  } else if constexpr (IsList<T>::value) {
    return "a list, each item " + expected<typename IsList<T>::Value>();
  } else {
    return "a " + py::str(py::type::of<T>().attr("__name__")).template cast<std::string>();
  }
}

// A number or a text as Python writes it, of anything else its type.
std::string shown(py::handle given);
[[noreturn]] void refuse(const Name& name, const std::string& expected, py::handle given);
// An integer, but none of so many bits.
[[noreturn]] void refuse_size(const Name& name, std::size_t bits, py::handle given);
// Whether Python can use it as an integer; True and False are none.
bool is_whole(py::handle given);
// A call whose arguments have other names or another number.
[[noreturn]] void refuse_call(const char* function, const std::vector<Name>& names,
                              const py::args& by_position, const py::kwargs& by_name);

template <class T>
void load_integer(Caster<T>& caster, py::handle given, const Name& name) {
  // Without conversion: it would cut float32(1.7) to 1.
  if (!PyBool_Check(given.ptr()) && caster.load(given, false)) return;
  if (!is_whole(given)) refuse(name, expected<T>(), given);
  if constexpr (IsOptional<T>::value) {
    refuse_size(name, 8 * sizeof(typename IsOptional<T>::Value), given);
  } else {
    refuse_size(name, 8 * sizeof(T), given);
  }
}

template <class A>
void load(Caster<A>& caster, py::handle given, const Name& name) {
  using T = Plain<A>;
  if constexpr (std::is_same_v<T, py::handle>) {
    caster.load(given, false);
  } else if constexpr (is_integer<T>) {
    load_integer<T>(caster, given, name);
  } else if constexpr (std::is_same_v<T, std::optional<int>>) {
    load_integer<T>(caster, given, name);
  } else {
    const bool absent = is_bound<T> && given.is_none();
    if (absent || !caster.load(given, name.convert)) refuse(name, expected<T>(), given);
  }
}

template <class A>
using AsHandle = py::handle;

template <class F, class R, class... A, std::size_t... I>
auto wrap(F f, R (*)(A...), const std::array<Name, sizeof...(A)>& names,
          std::index_sequence<I...>) {
  return [f, names](AsHandle<A>... given) -> R {
    std::tuple<Caster<A>...> casters;
    (load<A>(std::get<I>(casters), given, names[I]), ...);
    return std::invoke(f, py::detail::cast_op<A>(std::move(std::get<I>(casters)))...);
  };
}

// A function's arguments, the object of a method first, as a type: R (*)(A...).
template <class R, class... A>
auto signature(R (*)(A...)) -> R (*)(A...);
template <class R, class C, class... A>
auto signature(R (C::*)(A...)) -> R (*)(C&, A...);
template <class R, class C, class... A>
auto signature(R (C::*)(A...) const) -> R (*)(const C&, A...);
template <class R, class C, class... A>
auto signature(R (C::*)(A...) noexcept) -> R (*)(C&, A...);
template <class R, class C, class... A>
auto signature(R (C::*)(A...) const noexcept) -> R (*)(const C&, A...);
template <class F>
auto signature(const F&) -> py::detail::function_signature_t<F>*;

template <class T>
void add_name(std::vector<Name>& names, const T& extra) {
  if constexpr (std::is_base_of_v<py::arg, T>) {
    names.push_back({extra.name, !extra.flag_noconvert, std::is_same_v<py::arg_v, T>});
  }
}

template <class... Extra>
std::vector<Name> names_of(const Extra&... extra) {
  std::vector<Name> names;
  (add_name(names, extra), ...);
  return names;
}

template <class T>
void add_argument(std::vector<std::string>& arguments, const T& extra) {
  if constexpr (std::is_same_v<T, py::kw_only>) {
    arguments.push_back("*");
  } else if constexpr (std::is_same_v<T, py::arg_v>) {
    arguments.push_back(extra.name + ("=" + py::repr(extra.value).template cast<std::string>()));
  } else if constexpr (std::is_base_of_v<py::arg, T>) {
    arguments.push_back(extra.name);
  }
}

// "push(self, row, entity=0)\n--\n\nTake a row ...", which Python splits in signature and doc.
std::string docstring(const char* function, const std::vector<std::string>& arguments,
                      const char* doc);

template <class... Extra>
std::string docstring_of(const char* function, std::vector<std::string> arguments, const char* doc,
                         const Extra&... extra) {
  (add_argument(arguments, extra), ...);
  return docstring(function, arguments, doc);
}

// While it lives, pybind11 takes docstrings as they are.
struct OwnDocstrings {
  py::options options;
  OwnDocstrings() { options.disable_function_signatures(); }
};

template <class R, class... A>
constexpr std::size_t count(R (*)(A...)) {
  return sizeof...(A);
}

// The function that takes Python objects; `first` are arguments that have no `py::arg`.
template <class F, class... Extra>
auto checked_function(F f, std::vector<Name> first, const Extra&... extra) {
  using Signature = decltype(signature(f));
  constexpr std::size_t N = count(Signature{});
  for (const Name& name : names_of(extra...)) first.push_back(name);
  if (first.size() != N) throw std::logic_error("each argument of a bound function needs a name");
  std::array<Name, N> names;
  for (std::size_t k = 0; k < N; ++k) names[k] = first[k];
  return wrap(std::move(f), Signature{}, names, std::make_index_sequence<N>{});
}

template <class F, class... Extra>
void def(py::module_& m, const char* name, F f, const char* doc, const Extra&... extra) {
  const OwnDocstrings own;
  const std::string text = docstring_of(name, {}, doc, extra...);
  m.def(name, checked_function(std::move(f), {}, extra...), extra..., text.c_str());
  m.def(name, [name, names = names_of(extra...)](const py::args& args, const py::kwargs& named) {
    refuse_call(name, names, args, named);
  });
}

// A class whose functions are checked.
template <class T>
class Class : public py::class_<T> {
  using Base = py::class_<T>;

 public:
  Class(py::module_& m, const char* name, const char* doc) : Base(m, name, doc), name_(name) {}

  template <class F, class... Extra>
  Class& make(F f, const Extra&... extra) {  // the constructor
    const OwnDocstrings own;
    const std::string text = docstring_of("__init__", {"self"}, "Make one.", extra...);
    Base::def(py::init(checked_function(std::move(f), {}, extra...)), extra..., text.c_str());
    Base::def(py::init([name = name_, names = names_of(extra...)](
                           const py::args& args, const py::kwargs& named) -> std::unique_ptr<T> {
      refuse_call(name, names, args, named);
    }));
    return *this;
  }
  template <class F, class... Extra>
  Class& def(const char* name, F f, const char* doc, const Extra&... extra) {
    const OwnDocstrings own;
    const std::string text = docstring_of(name, {"self"}, doc, extra...);
    Base::def(name, checked_function(std::move(f), {{"self"}}, extra...), extra..., text.c_str());
    Base::def(name, [name, names = names_of(extra...)](py::handle, const py::args& args,
                                                       const py::kwargs& named) {
      refuse_call(name, names, args, named);
    });
    return *this;
  }
  template <class F, class... Extra>
  Class& def_static(const char* name, F f, const char* doc, const Extra&... extra) {
    const OwnDocstrings own;
    const std::string text = docstring_of(name, {}, doc, extra...);
    Base::def_static(name, checked_function(std::move(f), {}, extra...), extra..., text.c_str());
    Base::def_static(
        name, [name, names = names_of(extra...)](const py::args& args, const py::kwargs& named) {
          refuse_call(name, names, args, named);
        });
    return *this;
  }
  template <class F>
  Class& def_property_readonly(const char* name, F&& f, const char* doc) {
    const OwnDocstrings own;
    Base::def_property_readonly(name, std::forward<F>(f), doc);
    return *this;
  }

 private:
  const char* name_;
};

}  // namespace checked
