#include "eval/wording.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/check.h"

namespace fourstep {
namespace {

uint64_t Fnv1a(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

Wording::Part ParseChoice(std::string_view body) {
  Wording::Part part;
  double steepness = 0.7 + 1.0 * static_cast<double>(Fnv1a(body) >> 11) * 0x1p-53;
  if (const size_t tilde = body.rfind('~'); tilde != body.npos) {
    steepness = std::stod(std::string(body.substr(tilde + 1)));
    body = body.substr(0, tilde);
  }
  for (size_t begin = 0; begin <= body.size();) {
    const size_t end = std::min(body.find('|', begin), body.size());
    part.alternatives.emplace_back(body.substr(begin, end - begin));
    begin = end + 1;
  }
  double total = 0;
  for (size_t i = 0; i < part.alternatives.size(); ++i) {
    total += std::exp(-steepness * static_cast<double>(i));
  }
  double sum = 0;
  for (size_t i = 0; i < part.alternatives.size(); ++i) {
    const double p = std::exp(-steepness * static_cast<double>(i)) / total;
    part.entropy -= p * std::log(p);
    part.cumulative.push_back(sum += p);
  }
  part.cumulative.back() = 1;
  return part;
}

}  // namespace

Wording::Wording(std::string_view pattern) {
  while (!pattern.empty()) {
    const size_t special = std::min(pattern.find_first_of("[{"), pattern.size());
    if (special > 0) {
      parts_.push_back({.text = std::string(pattern.substr(0, special))});
      pattern.remove_prefix(special);
      continue;
    }
    const size_t close = pattern.find(pattern[0] == '[' ? ']' : '}');
    FOURSTEP_CHECK(close != pattern.npos, "wording \"{}\" does not close", pattern);
    const std::string_view body = pattern.substr(1, close - 1);
    if (pattern[0] == '[') {
      parts_.push_back(ParseChoice(body));
    } else {
      parts_.push_back({.slot = std::stoi(std::string(body))});
    }
    pattern.remove_prefix(close + 1);
  }
}

void Writer::Say(const Wording& wording, std::initializer_list<std::string_view> slots) {
  for (const Wording::Part& part : wording.parts()) {
    if (part.slot >= 0) {
      FOURSTEP_CHECK(static_cast<size_t>(part.slot) < slots.size(), "slot {} of {}", part.slot, slots.size());
      text_ += slots.begin()[part.slot];
    } else if (part.alternatives.empty()) {
      text_ += part.text;
    } else {
      if (record_choices_) choices_.push_back({text_.size(), part.entropy});
      const double u = random_.Uniform();
      size_t i = 0;
      while (u >= part.cumulative[i]) ++i;
      text_ += part.alternatives[i];
    }
  }
}

size_t Writer::Decide(std::span<const std::string> options, std::span<const double> weights) {
  FOURSTEP_CHECK(!options.empty() && options.size() == weights.size());
  double total = 0;
  for (const double weight : weights) total += weight;
  double left = random_.Uniform() * total;
  size_t chosen = 0;
  while (chosen + 1 < options.size() && left >= weights[chosen]) left -= weights[chosen++];
  if (record_choices_) RecordDecision(options, weights, chosen);
  text_ += options[chosen];
  return chosen;
}

// Byte by byte: the entropy of the next byte among the options that agree so far.
void Writer::RecordDecision(std::span<const std::string> options, std::span<const double> weights,
                            size_t chosen) {
  const std::string& text = options[chosen];
  std::vector<char> agrees(options.size(), 1);
  for (size_t at = 0; at <= text.size(); ++at) {
    std::array<double, 257> mass{};  // the last one: the option ends here
    double total = 0;
    for (size_t i = 0; i < options.size(); ++i) {
      if (!agrees[i]) continue;
      const size_t next = at < options[i].size() ? static_cast<unsigned char>(options[i][at]) : 256;
      mass[next] += weights[i];
      total += weights[i];
      agrees[i] = at < text.size() && next == static_cast<unsigned char>(text[at]);
    }
    double entropy = 0;
    for (const double m : mass) {
      if (m > 0) entropy -= m / total * std::log(m / total);
    }
    if (entropy > 1e-9) choices_.push_back({text_.size() + at, entropy});
  }
}

void Writer::Rewind(size_t length_bytes) {
  text_.resize(length_bytes);
  while (!choices_.empty() && choices_.back().offset_bytes >= length_bytes) choices_.pop_back();
}

}  // namespace fourstep
