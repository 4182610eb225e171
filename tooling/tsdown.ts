import { defineConfig, type UserConfig } from 'tsdown'

/** One build for every package: ESM and declarations, file by file, so that a bundler takes only what is used; dependencies left outside. */
export function library(entry: string[] = ['src/index.ts'], more: UserConfig = {}): UserConfig {
  return defineConfig({
    entry,
    format: 'esm',
    platform: 'neutral',
    target: 'es2022',
    dts: { oxc: true },
    clean: true,
    fixedExtension: false,
    hash: false,
    unbundle: true,
    ...more,
  })
}
