#include "find_library.h"

#include <dlfcn.h>
#include <glob.h>
#include <link.h>
#include <unistd.h>

#include <climits>
#include <cstdlib>
#include <sstream>

#include "error.h"

namespace longscan {

namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string parentOf(const std::string& path) {
  return path.substr(0, path.rfind('/'));
}

/// Patterns of the folders that hold bin/python3 for the python3 that PATH finds: as it is named there and,
/// since an environment's is a link, where that leads.
std::vector<std::string> pythonPrefixes() {
  std::istringstream folders(variable("PATH"));
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::string program = folder + "/python3";
    if (folder.empty() || folder[0] != '/' || access(program.c_str(), X_OK) != 0) continue;
    const std::string prefix = parentOf(folder);
    // pyenv's python3 is a script that chooses one of its versions.
    if (folder == prefix + "/shims") return {prefix + "/versions/*"};
    std::vector<std::string> prefixes{prefix};
    char real[PATH_MAX];
    if (realpath(program.c_str(), real) != nullptr) {
      if (const std::string other = parentOf(parentOf(real)); other != prefix) prefixes.push_back(other);
    }
    return prefixes;
  }
  return {};
}

/// Patterns of the folders in which CUDA's libraries lie, in order.
std::vector<std::string> folderPatterns() {
  std::vector<std::string> prefixes;
  for (const char* name : {"VIRTUAL_ENV", "CONDA_PREFIX"}) {
    if (const std::string prefix = variable(name); !prefix.empty()) prefixes.push_back(prefix);
  }
  for (const std::string& prefix : pythonPrefixes()) prefixes.push_back(prefix);
  if (const std::string home = variable("HOME"); !home.empty()) prefixes.push_back(home + "/.local");
  prefixes.push_back("/usr/local");

  std::vector<std::string> patterns;
  for (const std::string& prefix : prefixes) {
    // Of the wheels; Debian's pip says dist-packages.
    patterns.push_back(prefix + "/lib/python3*/*-packages/nvidia/*/lib");
  }
  if (const std::string conda = variable("CONDA_PREFIX"); !conda.empty()) patterns.push_back(conda + "/lib");
  for (const char* name : {"CUDA_HOME", "CUDA_PATH"}) {
    if (const std::string home = variable(name); !home.empty()) patterns.push_back(home + "/lib64");
  }
  patterns.push_back("/usr/local/cuda*/lib64");
  return patterns;
}

std::vector<std::string> matches(const std::string& pattern) {
  glob_t found{};
  std::vector<std::string> paths;
  if (glob(pattern.c_str(), 0, nullptr, &found) == 0)
    paths.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  globfree(&found);
  return paths;
}

/// Where the loader found a library.
std::string pathOf(void* handle, const std::string& otherwise) {
  link_map* map = nullptr;
  const bool isKnown = dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0 && map->l_name[0] != '\0';
  return isKnown ? map->l_name : otherwise;
}

/// What was tried, for the message.
class Attempts {
 public:
  /// Null if it cannot be opened.
  void* open(const std::string& path) {
    void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) note(dlerror());
    return handle;
  }
  void note(const std::string& what) { text_ += (text_.empty() ? "" : "; ") + what; }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

FoundLibrary search(const LibrarySearch& wanted, Attempts& attempts) {
  const std::vector<std::string>& names = wanted.names;
  for (const std::string& name : names) {
    if (void* handle = attempts.open(name)) return {handle, pathOf(handle, name), wanted};
  }
  for (const std::string& folder : folderPatterns()) {
    bool any = false;
    for (const std::string& name : names) {
      for (const std::string& path : matches(folder + "/" + name)) {
        any = true;
        if (void* handle = attempts.open(path)) return {handle, path, wanted};
      }
    }
    if (!any) attempts.note("nothing in " + folder);
  }
  return {};
}

}  // namespace

void FoundLibrary::refuse(const std::string& found) const {
  throw Error(search.code, path + " " + found + ". Fix: " + search.remedy + ", or name another file in " +
                               search.variable);
}

void* FoundLibrary::addressOf(const char* name) const {
  void* const address = dlsym(handle, name);
  if (address == nullptr) refuse(std::string("has no ") + name);
  return address;
}

FoundLibrary findLibrary(const LibrarySearch& wanted) {
  Attempts attempts;
  const std::string given = variable(wanted.variable);
  const FoundLibrary found =
      given.empty() ? search(wanted, attempts) : FoundLibrary{attempts.open(given), given, wanted};
  if (found.handle != nullptr) return found;
  throw Error(wanted.code, std::string(wanted.title) + " cannot be opened. Tried: " + attempts.text() +
                               ". Fix: " + wanted.remedy + ", or name its file in " + wanted.variable);
}

}  // namespace longscan
