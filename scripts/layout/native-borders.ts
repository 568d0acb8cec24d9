import type { LayoutRule } from './source-files.js';

/** Kernels are plain C++: only bindings know JavaScript, and nothing in an op depends on the environment. */
export const checkNativeBorders: LayoutRule = (files) => {
  const problems: string[] = [];
  for (const { path, text } of files) {
    if (!/^packages\/kernels\/.*\.(cc|h|cu|cuh)$/.test(path)) continue;
    const mayKnowNapi =
      path.endsWith('/binding.cc') ||
      /^packages\/kernels\/src\/(addon\/|comm\/comm_data\.h|comm\/bind_)/.test(path);
    if (!mayKnowNapi && /#include\s*[<"](napi|node_api|js_native_api)[^>"]*[>"]/.test(text))
      problems.push(`${path}: includes napi.h; only binding.cc files and addon/ do`);
    if (path.startsWith('packages/kernels/src/ops/') && /\bgetenv\b/.test(text))
      problems.push(`${path}: calls getenv; an op's result depends on its arguments alone`);
  }
  return problems;
};
