// Complex numbers of 2,048 bits, by GNU MPC: precise enough to tell apart whatever is written differently and
// differs, and bounded in time and memory whatever is computed.
#pragma once

#include <mpc.h>

#include <optional>
#include <string>

namespace fourstep {

// A value of more than 2^830 (about 10^250) in magnitude, other than zero and below 2^-2500, or that is not
// defined, is no value: it and all that comes of it is equal to nothing.
class Complex {
 public:
  Complex() : Complex(0) {}
  explicit Complex(long value);
  // "12", "1.5", ".5", "6.7e-5"; the text must be of this form.
  static Complex FromDecimal(const std::string& text);
  static Complex Pi();
  static Complex ImaginaryUnit();
  static Complex NoValue();

  Complex(const Complex& other);
  Complex& operator=(const Complex& other);
  ~Complex();

  bool has_value() const;
  // Where it is a real integer within ±max_magnitude.
  std::optional<long> AsInteger(long max_magnitude) const;
  bool is_negative_real() const;

  friend Complex operator+(const Complex& a, const Complex& b);
  friend Complex operator-(const Complex& a, const Complex& b);
  friend Complex operator*(const Complex& a, const Complex& b);
  friend Complex operator/(const Complex& a, const Complex& b);
  Complex operator-() const { return Complex(0) - *this; }

  // The principal branch of each. `name` is one of sqrt, exp, ln, sin, cos, tan, arcsin, arccos, arctan,
  // sinh, cosh, tanh, abs; the others, and floor and ceil of reals, are made of them.
  static Complex Apply(const std::string& name, const Complex& x);
  static Complex Power(const Complex& base, const Complex& exponent);

  // Equal but for roundings: within 2^-1000 of the larger one's magnitude, or within 2^-1000.
  static bool Same(const Complex& a, const Complex& b);

 private:
  Complex Checked() const;

  mpc_t value_;
};

}  // namespace fourstep
