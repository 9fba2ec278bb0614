"""A chain of equal sides is what its last side says, where exact arithmetic makes every link hold."""

import pytest

from doubleback.rewards.answers.forms.chains import end_of_chain


@pytest.mark.parametrize(
    ("text", "end"),
    [
        *(("17 - 5 = 12", "12"), ("x=5+5+1=11", "11"), (r"3\times4=12", "12"), (r"\frac{3}{4}=0.75", "0.75")),
        *(("1,000+500=1,500", "1,500"), ("2*(-3/2)=-3", "-3"), ("12+12=24 apples", "24 apples")),
        *(("2(5+7)=24", "24"), ("5^2-1=24", "24"), ("4!=24", "24"), (r"\sqrt{576}=24", "24"), ("50%*48=24", "24")),
        *(("10 apples+14 apples=24 apples", "24 apples"), ("5 boxes*6 pens=30 pens", "30 pens"), ("f(2)=3+4=7", "7")),
        *(("5^2=24", None), ("4!=25", None), (r"\sqrt{575}=24", None), ("24!=24", None), ("24=4!", None)),
        *(("10 apples+13 apples=24 apples", None), ("2 dozen+1=3", None), ("x+1=3", None), ("9^{99}=9^{99}=1", None)),
        *(("17-5=13", None), ("12=17-5", None), ("12", None), ("x=12", None), ("5/0=5", None), ("y+1=2", None)),
        ("+".join("1" * 400) + "=400", None),
    ],
)
def test_a_chain_ends_in_its_last_side_where_every_link_holds(text, end):
    assert end_of_chain(text) == end
