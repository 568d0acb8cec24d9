/** Files that may be longer than the budget, each with the reason why cutting it up would make it worse. */
export const longFiles: Readonly<Record<string, string>> = {};
