// The flags of `longscan train`, as npm's environment spells them when it takes one for its own.
const trainFlags = ['set', 'run_dir', 'resume', 'launcher', 'allow_code_change', 'json'];

/**
 * npm takes `npm start --set k=v` for a setting of its own: the script gets a bare `k=v`, the flag only shows up as
 * `npm_config_set`. Returns the error that says so and prints the right form, or null when nothing was swallowed.
 *
 * @param {string[]} args what npm handed on
 * @param {Record<string, string | undefined>} env
 */
export function describeSwallowedFlags(args, env) {
  const swallowed = trainFlags.filter((flag) => env[`npm_config_${flag}`]);
  const bareSettings = args.filter((arg, i) => /^[a-z]\w*\.\w+=/i.test(arg) && args[i - 1] !== '--set');
  if (swallowed.length === 0 && bareSettings.length === 0) return null;
  const words = bareSettings.map((setting) => `--set ${setting}`);
  for (const flag of swallowed.filter((flag) => flag !== 'set'))
    words.push(spell(flag, env[`npm_config_${flag}`]));
  const rest = args.filter((arg) => !bareSettings.includes(arg));
  const found =
    swallowed.length > 0 ? swallowed.map((flag) => `--${flag.replaceAll('_', '-')}`) : bareSettings;
  const right = ['npm start --', ...words, ...rest].join(' ');
  return `error[E-CLI-NPM] npm start: npm kept ${found.join(', ')} for itself, expected \`--\` before longscan's flags. Fix: ${right}`;
}

function spell(flag, value) {
  const name = `--${flag.replaceAll('_', '-')}`;
  return value === 'true' ? name : `${name}=${value}`;
}
