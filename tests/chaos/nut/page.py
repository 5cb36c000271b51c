from .table import table, tally

PRODUCTS = ("PowMonMan", "NUT, defaults", "NUT, fastest polling", "NUT, fastest, long DEADTIME")


def page(rows, runs, took):
    return table(rows, PRODUCTS) + "\n" + tally(rows, PRODUCTS) + f"\n{took:.0f} s\n"
