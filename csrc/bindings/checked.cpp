// The texts of errors about arguments, and docstrings.
#include "checked.h"

#include <stdexcept>

namespace checked {

std::string shown(py::handle given) {
  const bool brief = given.is_none() || PyLong_Check(given.ptr()) || PyFloat_Check(given.ptr()) ||
                     PyUnicode_Check(given.ptr());
  if (!brief) return py::str(py::type::handle_of(given).attr("__name__")).cast<std::string>();
  // ASCII: a text that is not UTF-8 may be what is wrong. Python refuses to write out an integer
  // of thousands of digits.
  const auto text = py::reinterpret_steal<py::object>(PyObject_ASCII(given.ptr()));
  if (!text) {
    PyErr_Clear();
    return "a longer one";
  }
  const auto whole = text.cast<std::string>();
  return whole.size() > 80 ? whole.substr(0, 77) + "..." : whole;
}

void refuse(const Name& name, const std::string& expected, py::handle given) {
  throw py::type_error(std::string(name.text) + ": expected " + expected + ", got " + shown(given));
}

void refuse_size(const Name& name, std::size_t bits, py::handle given) {
  throw py::value_error(std::string(name.text) + ": expected an integer of " +
                        std::to_string(bits) + " bits, got " + shown(given));
}

bool is_whole(py::handle given) {
  if (PyBool_Check(given.ptr())) return false;
  const auto index = py::reinterpret_steal<py::object>(PyNumber_Index(given.ptr()));
  if (!index) PyErr_Clear();
  return static_cast<bool>(index);
}

void refuse_call(const char* function, const std::vector<Name>& names, const py::args& by_position,
                 const py::kwargs& by_name) {
  std::string expected, given;
  for (const Name& name : names) {
    expected += (expected.empty() ? "" : ", ") + std::string(name.text) +
                (name.optional ? " (optional)" : "");
  }
  for (const auto& [key, value] : by_name) {
    given += (given.empty() ? "" : ", ") + py::str(key).cast<std::string>();
  }
  throw py::type_error(std::string(function) + ": expected the arguments " +
                       (expected.empty() ? "()" : expected) + "; got " +
                       std::to_string(by_position.size()) + " by position" +
                       (given.empty() ? "" : " and " + given + " by name"));
}

std::string docstring(const char* function, const std::vector<std::string>& arguments,
                      const char* doc) {
  std::string text = function + std::string("(");
  for (const std::string& argument : arguments) {
    text += (text.back() == '(' ? "" : ", ") + argument;
  }
  return text + ")\n--\n\n" + doc;
}

}  // namespace checked
