#include "base/file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "base/error.h"

namespace fourstep {
namespace {

namespace fs = std::filesystem;

class FileTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) /
              (std::string("file_test_") + testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  size_t NumEntries() const {
    return std::distance(fs::directory_iterator(folder_), fs::directory_iterator());
  }
  fs::path folder_;
};

TEST_F(FileTest, WritesReadsAndMapsTheSameBytes) {
  const std::string contents("a\0b\xff", 4);
  WriteFile(folder_ / "x", contents);
  EXPECT_EQ(ReadFile(folder_ / "x", 10), contents);
  const MappedFile mapped(folder_ / "x");
  ASSERT_EQ(mapped.bytes().size(), contents.size());
  EXPECT_EQ(std::memcmp(mapped.bytes().data(), contents.data(), contents.size()), 0);
  WriteFile(folder_ / "x", "");
  EXPECT_TRUE(MappedFile(folder_ / "x").bytes().empty());
  EXPECT_EQ(NumEntries(), 1u);
}

TEST_F(FileTest, RefusesWhatIsNoPlainFile) {
  EXPECT_THROW(ReadFile(folder_ / "missing", 10), Error);
  EXPECT_THROW(ReadFile(folder_, 10), Error);
  EXPECT_THROW(MappedFile{folder_}, Error);
  ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  EXPECT_THROW(ReadFile(folder_ / "pipe", 10), Error);  // and does not wait for a writer
  WriteFile(folder_ / "large", "12345678901");
  EXPECT_THROW(ReadFile(folder_ / "large", 10), Error);
}

TEST_F(FileTest, AbandonedOutputLeavesNothing) {
  {
    AtomicOutput output(folder_ / "model", AtomicOutput::Kind::kFolder);
    std::ofstream(output.path() / "part") << "half";
  }
  EXPECT_EQ(NumEntries(), 0u);
}

TEST_F(FileTest, CommittedFolderAppearsWholeAndIsNeverOverwritten) {
  {
    AtomicOutput output(folder_ / "model/", AtomicOutput::Kind::kFolder);
    std::ofstream(output.path() / "part") << "all";
    EXPECT_FALSE(fs::exists(folder_ / "model"));
    output.Commit();
  }
  EXPECT_EQ(ReadFile(folder_ / "model" / "part", 10), "all");
  EXPECT_EQ(NumEntries(), 1u);
  EXPECT_THROW(AtomicOutput(folder_ / "model", AtomicOutput::Kind::kFolder), Error);
  EXPECT_THROW(AtomicOutput(folder_ / "none" / "model", AtomicOutput::Kind::kFolder), Error);
}

}  // namespace
}  // namespace fourstep
