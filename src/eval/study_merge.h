// Studies of the same arms, answered by several processes or machines, put together.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace fourstep {

// Makes `destination` of all problems, arms and answers of `sources`, and returns how many answers it has.
// Throws Error where `destination` exists, where an arm of one name is another one in another source, where
// settings that answers depend on differ, or where a problem was answered under several seeds; `destination`
// is then not made.
int64_t MergeStudies(const std::vector<std::string>& sources, const std::string& destination);

}  // namespace fourstep
