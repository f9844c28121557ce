#include "base/json.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace fourstep {
namespace {

std::string FaultOf(const std::string& text, const JsonLimits& limits = {}) {
  try {
    ParseJson(text, "input", limits);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(ParseJson, RefusesWhatIsNotOneValidValue) {
  EXPECT_EQ(FaultOf(R"({"a": [1, 2.5, "é", null, true]})"), "");
  for (const char* bad : {"", "{", "[1,]", "{\"a\":1} x", "nan", "\"\xff\"", "{\"a\" 1}", "1e999", "'a'"}) {
    EXPECT_NE(FaultOf(bad), "") << bad;
  }
  EXPECT_EQ(FaultOf(std::string("{}\0{", 4)), "input: not valid JSON at byte 2: a NUL byte");
  EXPECT_EQ(FaultOf(R"({"a": 1, "b": {"a": 2}, "a": 3})"), "input: key \"a\" stands twice");
  EXPECT_EQ(FaultOf(R"({"a": 1, "b": {"a": 2}})"), "");
}

TEST(ParseJson, LimitsDepthAndSize) {
  EXPECT_NE(FaultOf(std::string(1000000, '[')), "");
  EXPECT_EQ(FaultOf("[[1]]", {.max_depth = 2}), "");
  EXPECT_EQ(FaultOf("[[[1]]]", {.max_depth = 2}), "input: JSON nested deeper than 2");
  EXPECT_EQ(FaultOf("[1, 2, 3]", {.max_bytes = 4}), "input: 9 bytes of JSON, at most 4 are read");
}

TEST(JsonReader, ReadsTypesAndNamesFaults) {
  const Json object = ParseJson(
      R"({"n": 7, "big": 18446744073709551615, "x": 0.5, "s": "text", "b": true, "none": null})", "f");
  const JsonReader reader(object, "f");
  EXPECT_EQ(reader.Int("n", 0, 10), 7);
  EXPECT_EQ(reader.Number("x", 0, 1), 0.5);
  EXPECT_EQ(reader.Number("n", 0, 10), 7);
  EXPECT_EQ(reader.String("s"), "text");
  EXPECT_TRUE(reader.Bool("b"));
  EXPECT_FALSE(reader.Has("none"));
  EXPECT_EQ(reader.IntOr("none", 5, 0, 10), 5);
  EXPECT_EQ(reader.StringOr("absent", "d"), "d");
  EXPECT_THROW(reader.Int("n", 0, 6), Error);
  EXPECT_THROW(reader.Int("big", 0, 6), Error);
  EXPECT_THROW(reader.Int("x", 0, 6), Error);
  EXPECT_THROW(reader.Int("absent", 0, 6), Error);
  EXPECT_THROW(reader.IntOr("s", 1, 0, 6), Error);
  EXPECT_THROW(reader.Bool("n"), Error);
  EXPECT_THROW(JsonReader(object["s"], "f"), Error);
}

TEST(DumpJson, ReplacesInvalidUtf8) {
  EXPECT_EQ(DumpJson(Json("a\xff")), "\"a\xEF\xBF\xBD\"");
}

}  // namespace
}  // namespace fourstep
