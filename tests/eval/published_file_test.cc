#include "eval/published_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace fourstep {
namespace {

using testing::HasSubstr;

std::vector<std::string> Questions(const std::string& text) {
  std::vector<std::string> questions;
  ReadPublishedRows(text, "f", [&](const PublishedRow& row, int64_t number) {
    EXPECT_EQ(number, static_cast<int64_t>(questions.size()) + 1);
    questions.push_back(row.IdOr("none") + ":" + row.Text({"question", "problem"}));
  });
  return questions;
}

std::string FaultOf(const std::string& text) {
  try {
    Questions(text);
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

TEST(PublishedFile, ReadsItsThreeForms) {
  const std::vector<std::string> expected = {"1:a, \"b\"\nc", "x:é"};
  EXPECT_EQ(
      Questions("{\"id\":1,\"problem\":\"a, \\\"b\\\"\\nc\"}\n\n{\"unique_id\":\"x\",\"question\":\"é\"}"),
      expected);
  EXPECT_EQ(Questions(" [{\"id\":1,\"problem\":\"a, \\\"b\\\"\\nc\"},{\"ID\":\"x\",\"problem\":\"é\"}]\n"),
            expected);
  EXPECT_EQ(Questions("id,question\n1,\"a, \"\"b\"\"\nc\"\nx,é\n"), expected);
  EXPECT_EQ(Questions("\xef\xbb\xbfquestion,id\r\n\"a, \"\"b\"\"\nc\",1\r\n\r\né,x"), expected);
  EXPECT_EQ(Questions("{\"problem\":\"a\"}\n"), std::vector<std::string>{"none:a"});
}

TEST(PublishedFile, NamesThePlaceOfAFault) {
  EXPECT_EQ(FaultOf(""), "f: has no problem, expected JSON lines, a JSON array or CSV");
  EXPECT_EQ(FaultOf("[]"), "f: has no problem, expected JSON lines, a JSON array or CSV");
  EXPECT_EQ(FaultOf("question\n"), "f: has no problem, expected JSON lines, a JSON array or CSV");
  EXPECT_THAT(FaultOf("{\"problem\":\"a\"}\n{\"problem\":"), HasSubstr("f: line 2: "));
  EXPECT_EQ(FaultOf("{\"text\":\"a\"}\n"), "f: line 1: has no \"question\" and no \"problem\"");
  EXPECT_EQ(FaultOf("{\"problem\":[1]}\n"), "f: line 1: \"question\" is no text");
  EXPECT_THAT(FaultOf("[{\"problem\":\"a\"},7]"), HasSubstr("f: entry 2: "));
  EXPECT_EQ(FaultOf("id,question\n1,a\n2\n"), "f: line 3: has 1 fields, expected 2 as in the first line");
  EXPECT_EQ(FaultOf("id,question\n1,\"a\nb\n"), "f: line 2: a quote does not end");
  EXPECT_EQ(FaultOf("id,question\n1,\"a\"b\n"),
            "f: line 2: a quote is followed by neither a comma nor the line's end");
  EXPECT_EQ(FaultOf(std::string(2000, ',')), "f: line 1: more than 1000 columns");
  EXPECT_THAT(FaultOf(std::string("PAR1\0\0", 6)), HasSubstr("is Parquet"));
}

}  // namespace
}  // namespace fourstep
