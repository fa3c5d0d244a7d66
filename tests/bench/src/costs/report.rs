//! The costs for people: tables on a terminal, the same without frames in a file, and Markdown for the README.

use comfy_table::presets::{ASCII_MARKDOWN, NOTHING, UTF8_HORIZONTAL_ONLY};
use comfy_table::{CellAlignment, ContentArrangement, Table};

use super::bill::{Architecture, Bill, Group, MONTH_DAYS};
use super::prices::Price;
use super::tenants::PROFILES;
use super::world::Tick;
use super::{Costs, Form};
use crate::Outcome;

/// Marks a price that has to be compared with AWS's page first.
const UNCONFIRMED: &str = "*";

/// All tables.
pub fn text(costs: &Costs, form: Form) -> Outcome<String> {
    let parts = [
        ("Costs a month", costs_table(costs, form)?),
        ("If one thing were different", variants_table(costs, form)?),
        ("Assumptions", list(&costs.sentences)),
        ("Records a day, assumed", volumes(costs)),
        ("Measured", ticks_table(costs, form)),
        ("Prices", prices_table(costs, form)?),
    ];
    let heading = |name: &str| match form {
        Form::Markdown => format!("**{name}**"),
        _ => name.to_owned(),
    };
    let sections = parts.map(|(name, body)| format!("{}\n\n{}\n", heading(name), body.trim_end()));
    Ok(sections.join("\n"))
}

fn of(costs: &Costs, architecture: Architecture, is_usual: bool) -> impl Iterator<Item = &Bill> {
    let fits = move |bill: &&Bill| bill.architecture == architecture && (bill.days == MONTH_DAYS) == is_usual;
    costs.bills.iter().filter(fits)
}

fn costs_table(costs: &Costs, form: Form) -> Outcome<String> {
    let bills: Vec<&Bill> = of(costs, Architecture::X86, true).collect();
    let first = bills.first().ok_or("there is no bill")?;
    let mut rows = table(&header(costs), form);
    for group in [Group::Collecting, Group::Around] {
        for (place, line) in first.lines.iter().enumerate().filter(|(_, line)| line.group == group) {
            let mark = if line.is_confirmed { "" } else { UNCONFIRMED };
            let each = bills.iter().filter_map(|bill| bill.lines.get(place)).map(|line| dollars(line.usd));
            rows.add_row(std::iter::once(format!("{}{mark}", line.name)).chain(each));
        }
        let name = match group {
            Group::Collecting => "collecting",
            Group::Around => "around it",
        };
        rows.add_row(sums(name, form, &bills, |bill| bill.usd_of(group)));
    }
    rows.add_row(sums("all of it", form, &bills, Bill::usd));
    for (name, architecture, is_usual) in [
        ("collecting on arm64", Architecture::Arm, true),
        ("collecting, 730 hours", Architecture::X86, false),
        ("collecting on arm64, 730 hours", Architecture::Arm, false),
    ] {
        let others: Vec<&Bill> = of(costs, architecture, is_usual).collect();
        rows.add_row(sums(name, Form::Plain, &others, |bill| bill.usd_of(Group::Collecting)));
    }
    let dearest = bills.iter().map(|bill| format!("{}: {}", bill.tenant.name, dearest(bill)));
    let dearest = dearest.collect::<Vec<_>>().join("; ");
    let limits: Vec<String> = bills
        .iter()
        .filter(|bill| !bill.at_limit().is_empty())
        .map(|bill| format!("{}: {}", bill.tenant.name, bill.at_limit().join(", ")))
        .collect();
    let limits = if limits.is_empty() {
        String::new()
    } else {
        format!(
            "\nMicrosoft's limit sets the pace in busy hours, when every tick uses up its time: {}.\n",
            limits.join("; ")
        )
    };
    Ok(format!(
        "US dollars for 30 days in {}, x86_64, {} MB; {UNCONFIRMED} marks prices that are not confirmed.\n\n{rows}\n\n\
         Where most of Lambda's time goes: {dearest}.\n{limits}",
        costs.prices.region, costs.assumptions.memory_mb
    ))
}

/// The services that take most of the time, until half of it is named.
fn dearest(bill: &Bill) -> String {
    let all: f64 = bill.services.iter().map(|service| service.quantities.gb_seconds).sum();
    let mut services: Vec<_> =
        bill.services.iter().map(|service| (service.quantities.gb_seconds / all, service.function)).collect();
    services.sort_by(|one, other| other.0.total_cmp(&one.0));
    let mut named = 0.0;
    let enough = services.iter().take_while(|(share, _)| {
        let goes_on = named < 0.5;
        named += share;
        goes_on
    });
    enough
        .map(|(share, function)| format!("{function} {:.0} %", share * 100.0))
        .collect::<Vec<_>>()
        .join(", ")
}

fn header(costs: &Costs) -> Vec<String> {
    let sizes = of(costs, Architecture::X86, true)
        .map(|bill| format!("{}, {} users", bill.tenant.name, grouped(f64::from(bill.tenant.users))));
    std::iter::once(String::new()).chain(sizes).collect()
}

fn sums(name: &str, form: Form, bills: &[&Bill], sum: impl Fn(&Bill) -> f64) -> Vec<String> {
    let bold = |text: String| if form == Form::Markdown { format!("**{text}**") } else { text };
    let each = bills.iter().map(|bill| bold(dollars(sum(bill))));
    std::iter::once(bold(name.to_owned())).chain(each).collect()
}

fn variants_table(costs: &Costs, form: Form) -> Outcome<String> {
    let mut header = header(costs);
    if let Some(first) = header.first_mut() {
        *first = "collecting".to_owned();
    }
    let mut rows = table(&header, form);
    let bills: Vec<&Bill> = of(costs, Architecture::X86, true).collect();
    rows.add_row(sums("as above", Form::Plain, &bills, |bill| bill.usd_of(Group::Collecting)));
    for variant in &costs.variants {
        let each = variant.collecting.iter().map(|usd| dollars(*usd));
        rows.add_row(std::iter::once(variant.name.clone()).chain(each));
    }
    Ok(format!("{rows}\n"))
}

fn list(sentences: &[String]) -> String {
    sentences.iter().map(|sentence| format!("- {sentence}\n")).collect()
}

fn volumes(costs: &Costs) -> String {
    let all: Vec<String> = of(costs, Architecture::X86, true)
        .map(|bill| {
            let records: f64 = bill.services.iter().map(|service| service.records_a_day).sum();
            format!("{} {}", bill.tenant.name, grouped(records))
        })
        .collect();
    let each: Vec<String> = PROFILES
        .iter()
        .filter(|profile| profile.records + profile.records_a_user > 0.0)
        .map(|profile| match (profile.records, profile.records_a_user) {
            (fixed, 0.0) => format!("{} {} in all", profile.function, fixed),
            (0.0, by_user) => format!("{} {by_user}", profile.function),
            (fixed, by_user) => format!("{} {fixed} and {by_user}", profile.function),
        })
        .collect();
    format!("{}. A day and user: {}.", all.join(", "), each.join(", "))
}

fn ticks_table(costs: &Costs, form: Form) -> String {
    let columns =
        ["tick", "ms", "cpu ms", "writes", "reads", "requests", "log bytes", "bytes to Devo", "stored bytes"];
    let mut rows = table(&columns.map(str::to_owned), form);
    let measured = &costs.measured;
    for (name, course) in [("graph-sign-ins", &measured.collection), ("office365-exchange", &measured.feed)] {
        rows.add_row(row(format!("{name}: first of a process"), &course.first));
        rows.add_row(row(format!("{name}: nothing new"), &course.idle));
        rows.add_row(row(format!("{name}: before its time"), &course.not_due));
        for tick in &course.loaded {
            rows.add_row(row(format!("{name}: {} new records", grouped(tick.delivered as f64)), tick));
        }
        let again = match course.again.received {
            0 => "known content listed again".to_owned(),
            known => format!("{} known records", grouped(known as f64)),
        };
        rows.add_row(row(format!("{name}: {again}"), &course.again));
        rows.add_row(row(format!("{name}: first of a process, full memory"), &course.cold));
    }
    rows.add_row(row("office365-uri-retry: no work".to_owned(), &measured.retry));
    let (collection, feed) = (&measured.collection, &measured.feed);
    format!(
        "{rows}\n\nProcessor time of a record: {:.1} us new and {:.1} us known in a collection, {:.1} us new in a feed. From start \
         to first poll {:.1} ms. Units are those that the emulator of DynamoDB reports.",
        collection.cpu_of_new() * 1e3,
        collection.cpu_of_known() * 1e3,
        feed.cpu_of_new() * 1e3,
        measured.start_ms
    )
}

fn row(name: String, tick: &Tick) -> Vec<String> {
    vec![
        name,
        format!("{:.0}", tick.wall_ms),
        format!("{:.1}", tick.cpu_ms),
        format!("{}", tick.write_units),
        format!("{}", tick.read_units),
        format!("{}", tick.requests),
        grouped(tick.log_bytes as f64),
        grouped(tick.devo_bytes as f64),
        grouped(tick.stored_bytes as f64),
    ]
}

fn prices_table(costs: &Costs, form: Form) -> Outcome<String> {
    let mut rows = table(&["item", "USD", "for", "as of", "source"].map(str::to_owned), form);
    for (item, price) in &costs.prices.prices {
        let name = item.name()?;
        rows.add_row([name, price.usd.to_string(), amount(price), price.date.clone(), source(price)]);
    }
    Ok(format!("{}\n\n{rows}\n", costs.prices.note))
}

fn amount(price: &Price) -> String {
    if price.per == 1.0 { price.unit.clone() } else { format!("{} {}", grouped(price.per), price.unit) }
}

fn source(price: &Price) -> String {
    if price.confirmed { price.source.clone() } else { format!("{} (not confirmed)", price.source) }
}

fn table(header: &[String], form: Form) -> Table {
    let mut table = Table::new();
    table.load_style(match form {
        Form::Markdown => ASCII_MARKDOWN,
        Form::Terminal => UTF8_HORIZONTAL_ONLY,
        Form::Plain | Form::Json => NOTHING,
    });
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().cloned());
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn dollars(usd: f64) -> String {
    format!("{usd:.2}")
}

/// A whole number with its thousands set apart.
fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value <= -0.5 { format!("-{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        let cases =
            [(0.0, "0"), (999.4, "999"), (1000.0, "1,000"), (1_234_567.0, "1,234,567"), (-1500.0, "-1,500")];
        for (value, expected) in cases {
            assert_eq!(grouped(value), expected);
        }
    }
}
