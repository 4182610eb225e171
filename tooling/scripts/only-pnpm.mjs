// A plain `npm install` would ignore the workspace and its lockfile: say what to type instead.
if (!(process.env.npm_config_user_agent ?? '').startsWith('pnpm/')) {
  console.error('KVFold is a pnpm workspace: run `npm run setup`, which brings pnpm along and installs everything.')
  process.exit(1)
}
