import type { Command } from 'commander'
import pc from 'picocolors'
import { describeMethod, describeParams, type RegisteredMethod } from '@kvfold/kv-core'
import { registry } from '../registry.ts'
import { table } from '../terminal/table.ts'

export function methodsCommand(program: Command): void {
  program
    .command('methods')
    .summary('list the methods that policies are made of')
    .description('Lists the methods that policies are made of, or describes one with its parameters.')
    .argument('[name]', 'describe this one')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExamples:\n  kvfold methods\n  kvfold methods snapkv')
    .action((name: string | undefined, { json }: { json?: boolean }) => {
      const found = name ? registry.list().filter(({ method }) => method === registry.get(name)) : registry.list()
      if (json) console.log(JSON.stringify(found.map(describeMethod)))
      else console.log(name ? found.map(describe).join('\n') : overview(found))
    })
}

function overview(methods: readonly RegisteredMethod[]): string {
  return table(
    ['method', 'axes', 'paper', 'what it does'],
    methods.map(({ method: { name, axes, paper, summary } }) => [name, axes.join(', '), paper?.arxiv ?? '', summary]),
  )
}

function describe({ method, package: from }: RegisteredMethod): string {
  const { name, axes, paper, summary } = method
  const params = describeParams(method).map((param) => [
    `  ${param.name}`,
    param.default === undefined ? '' : String(param.default),
    param.description,
  ])
  return [
    `${pc.bold(name)} (${from})`,
    summary,
    ...(paper ? [`${paper.title}, ${paper.year}${paper.arxiv ? `, https://arxiv.org/abs/${paper.arxiv}` : ''}`] : []),
    `axes: ${axes.join(', ')}`,
    '',
    table(['  parameter', 'default', ''], params),
  ].join('\n')
}
